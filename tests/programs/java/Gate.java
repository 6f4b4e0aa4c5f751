// Gate: a service for gate_real.sh: each connection to its socket makes some Deflaters and uses them; they are closed, or, with
// "leak", kept. Strings and buffers come and go besides.
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.Deflater;

public class Gate {
	static final List<Deflater> kept = new ArrayList<>();

	static int compress(byte[] text, boolean leak) {
		Deflater deflater = new Deflater();
		deflater.setInput(text);
		deflater.finish();
		int n = deflater.deflate(new byte[4096]);
		if (leak)
			kept.add(deflater);
		else
			deflater.end();
		return n;
	}

	static int serve(boolean leak) {
		int sum = 0;
		for (int i = 0; i < 20; i++)
			sum += compress(("request " + i + " of many").repeat(20).getBytes(), leak);
		return sum;
	}

	public static void main(String[] args) throws Exception {
		boolean leak = args.length > 1 && args[1].equals("leak");
		try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
			server.bind(UnixDomainSocketAddress.of(args[0]));
			for (;;)
				try (SocketChannel client = server.accept()) {
					client.write(ByteBuffer.wrap(("" + serve(leak)).getBytes()));
				}
		}
	}
}
