import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * What JNI hands out, of known truth for tests/programs/agent.sh: each native method below is called as often as the first
 * argument says by each method that calls it, and keeps what its name says; what is "AndBack" is given back.
 */
public final class Refs {
	private static native void global(Object object);

	private static native void globalAndBack(Object object);

	private static native void weak(Object object);

	private static native void weakAndBack(Object object);

	private static native void strings(String string);

	private static native void stringsAndBack(String string);

	private static native void arrays(boolean[] z, byte[] b, char[] c, short[] s, int[] i, long[] l, float[] f, double[] d);

	private static native void arraysAndBack(boolean[] z, byte[] b, char[] c, short[] s, int[] i, long[] l, float[] f, double[] d);

	private static native void criticalAndBack(String string, byte[] array);

	private static native void refused();

	private static native ByteBuffer buffer(int bytes);

	/** Attaches that many threads, one after the other, that detach; and some that end without, or try to too early. */
	private static native void attach(int threads, int kept);

	/** Called back by attached threads: detaching is refused here. */
	private static native void detachTooEarly();

	/** Holds an array twice, and a string; prints "ready"; never comes back. */
	private static native void hold(String string, byte[] array);

	private static final List<ByteBuffer> kept = new ArrayList<>();
	private static final Object[] objects = new Object[64];

	private static void one(int i) {
		global(objects[i % 64]);
	}

	private static void two(int i) {
		inner(i);
		globalAndBack(objects[i % 64]);
	}

	private static void inner(int i) {
		if (i >= 0)
			global(objects[i % 64]);
	}

	private static void three(int i) {
		weak(objects[i % 64]);
		weakAndBack(objects[i % 64]);
	}

	private static void four() {
		strings("\u00e4bc");
		strings("latin");
		stringsAndBack("\u00e4bc\u20ac");
	}

	private static void five(int i) {
		arrays(new boolean[3], new byte[3], new char[3], new short[3], new int[3], new long[3], new float[3], new double[3]);
		arraysAndBack(new boolean[3], new byte[3], new char[3], new short[3], new int[3], new long[3], new float[3], new double[3]);
		arraysAndBack(new boolean[0], new byte[0], new char[0], new short[0], new int[0], new long[0], new float[0], new double[0]);
		criticalAndBack("critical\u20ac", new byte[i % 10]);
	}

	private static void six() {
		kept.add(buffer(100));
	}

	private static void seven() {
		buffer(10000);
	}

	/** The last buffers may be seen dead only when the next are: some wait for the reader to be gone. */
	private static void collect() throws Exception {
		for (int i = 0; i < 5; i++) {
			System.gc();
			Thread.sleep(50);
		}
	}

	static void callback() {
		detachTooEarly();
	}

	public static void main(String[] arguments) throws Exception {
		int n = Integer.parseInt(arguments[0]);
		System.load(arguments[1]);
		for (int i = 0; i < objects.length; i++)
			objects[i] = new Object();
		for (int i = 0; i < n; i++) {
			one(i);
			two(i);
			three(i);
			four();
			five(i);
			six();
			seven();
		}
		refused();
		attach(Integer.parseInt(arguments[2]), 10);
		collect();
		hold("held\u20ac", new byte[100]);
	}
}
