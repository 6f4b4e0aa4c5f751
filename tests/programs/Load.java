import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/** A JVM under load for tests/programs/jvm.sh: direct buffers, zlib, threads, garbage. Prints a checksum. */
public final class Load {
	private static long crunch(int seed) throws Exception {
		byte[] plain = new byte[20000];
		for (int i = 0; i < plain.length; i++)
			plain[i] = (byte) (i * seed % 97);
		Deflater deflater = new Deflater();
		deflater.setInput(plain);
		deflater.finish();
		byte[] packed = new byte[40000];
		int n = deflater.deflate(packed);
		deflater.end();
		Inflater inflater = new Inflater();
		inflater.setInput(packed, 0, n);
		byte[] again = new byte[plain.length];
		inflater.inflate(again);
		inflater.end();
		ByteBuffer direct = ByteBuffer.allocateDirect(8192 + seed % 1000);
		direct.put(again, 0, 8192);
		CRC32 crc = new CRC32();
		direct.flip();
		crc.update(direct);
		return crc.getValue();
	}

	public static void main(String[] arguments) throws Exception {
		int rounds = Integer.parseInt(arguments[0]);
		List<ByteBuffer> kept = new ArrayList<>();
		long[] sums = new long[4];
		List<Thread> threads = new ArrayList<>();
		for (int t = 0; t < sums.length; t++) {
			int me = t;
			Thread thread = new Thread(() -> {
				try {
					for (int i = 0; i < rounds; i++)
						sums[me] += crunch(me * 1000 + i);
				} catch (Exception e) {
					throw new RuntimeException(e);
				}
			}, "crunch-" + t);
			thread.start();
			threads.add(thread);
		}
		for (Thread thread : threads)
			thread.join();
		for (int i = 0; i < 100; i++)
			kept.add(ByteBuffer.allocateDirect(65536));
		System.gc();
		Process child = new ProcessBuilder("/bin/echo", "from a child").start();
		System.out.print(new String(child.getInputStream().readAllBytes()));
		System.out.println(child.waitFor() + " " + kept.size());
		try {
			Object nothing = sums.length > 10 ? "" : null;
			System.out.println(nothing.hashCode());
		} catch (NullPointerException e) {
			System.out.println("caught");
		}
		for (long sum : sums)
			System.out.println(sum);
		System.exit(5);
	}
}
