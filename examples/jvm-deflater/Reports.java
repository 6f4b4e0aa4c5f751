import java.io.ByteArrayOutputStream;
import java.util.zip.Deflater;

/** Packs monthly reports. The Java heap stays flat: what grows is zlib's memory, behind each Deflater. */
public final class Reports {
	private static byte[] pack(byte[] text) {
		Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION);
		deflater.setInput(text);
		deflater.finish();
		ByteArrayOutputStream packed = new ByteArrayOutputStream();
		byte[] piece = new byte[4096];
		while (!deflater.finished())
			packed.write(piece, 0, deflater.deflate(piece));
		return packed.toByteArray(); // deflater.end() is missing: the garbage collector has to come first
	}

	private static int month(int month) {
		byte[] text = ("report of month " + month).repeat(100).getBytes();
		return pack(text).length;
	}

	public static void main(String[] arguments) {
		int bytes = 0;
		for (int month = 0; month < 100; month++)
			bytes += month(month);
		System.out.println("100 reports, packed into " + (bytes > 0 ? "little" : "nothing"));
	}
}
