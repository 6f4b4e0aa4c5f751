import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import java.nio.charset.StandardCharsets;

/** Writes mails into buffers of Netty's, which has them in a pool of direct memory: the Java heap knows nothing of it. */
public final class Mailer {
	private static ByteBuf encode(String to, byte[] text) {
		ByteBuf mail = ByteBufAllocator.DEFAULT.directBuffer(64 << 10);
		mail.writeCharSequence("To: " + to + "\r\n\r\n", StandardCharsets.UTF_8);
		return mail.writeBytes(text);
	}

	private static int send(int number) {
		ByteBuf mail = encode("reader" + number % 100 + "@example.org", new byte[60_000]);
		if (number % 4 == 0)
			return 0; // the reader has left: nothing is sent, and release() is forgotten
		int bytes = mail.readableBytes();
		mail.release();
		return bytes;
	}

	public static void main(String[] arguments) {
		long bytes = 0;
		for (int number = 0; number < 2000; number++)
			bytes += send(number);
		System.out.println("2000 mails, " + (bytes > 0 ? "most of them sent" : "none sent"));
	}
}
