import java.util.Arrays;

/**
 * Classes that come and go for tests/programs/java.sh: each leaks one block and is unloaded, and others are loaded where it
 * was. Each has a name of its own, in as many bytes, so one method may well lie at the very address of another.
 */
public final class Unloaded {
	private static final class Once extends ClassLoader {
		Class<?> define(byte[] bytes) {
			return defineClass(null, bytes, 0, bytes.length);
		}
	}

	private static byte[] renamed(byte[] bytes, String from, String to) {
		byte[] old = from.getBytes(), copy = bytes.clone();
		for (int i = 0; i + old.length <= bytes.length; i++)
			if (Arrays.equals(old, 0, old.length, bytes, i, i + old.length))
				System.arraycopy(to.getBytes(), 0, copy, i, old.length);
		return copy;
	}

	public static void main(String[] arguments) throws Exception {
		int n = Integer.parseInt(arguments[0]);
		Leaks.load(arguments[1]);
		byte[] bytes = Unloaded.class.getResourceAsStream("Unloaded$Gen0000.class").readAllBytes();
		for (int i = 1; i <= n; i++) {
			byte[] mine = renamed(bytes, "Gen0000", String.format("Gen%04d", i));
			((Runnable) new Once().define(mine).getDeclaredConstructor().newInstance()).run();
			if (i % 20 == 0)
				System.gc();
		}
		System.out.println("ready");
		Thread.sleep(600000);
	}

	/** The class that the others are. */
	public static final class Gen0000 implements Runnable {
		@Override
		public void run() {
			Leaks.leak();
		}
	}
}
