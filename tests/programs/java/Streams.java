import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Packs pieces by zstd-jni, and never closes a stream: its memory waits for the collector, and for a finalizer. For
 * tests/programs/incidents_jvm.sh, which says by lines what is to be done next: "pack", or "wait" until all finalizers have run.
 */
public final class Streams {
	private static final AtomicInteger waiting = new AtomicInteger();

	private static final class Stream extends ZstdOutputStream {
		Stream(ByteArrayOutputStream to) throws IOException {
			super(to);
			waiting.incrementAndGet();
		}

		@Override
		@SuppressWarnings("removal")
		protected void finalize() throws Throwable {
			super.finalize();
			waiting.decrementAndGet();
		}
	}

	private static void pack(byte[] piece) throws IOException {
		Stream stream = new Stream(new ByteArrayOutputStream());
		stream.write(piece);
		stream.flush();
	}

	public static void main(String[] arguments) throws Exception {
		byte[] line = new byte[16];
		for (int n = System.in.read(line); n > 0; n = System.in.read(line)) {
			for (int i = 0; line[0] == 'p' && i < 2; i++)
				pack(new byte[100]);
			while (line[0] == 'w' && waiting.get() > 0)
				Thread.sleep(10);
			System.out.println("done");
		}
		Runtime.getRuntime().halt(0);
	}
}
