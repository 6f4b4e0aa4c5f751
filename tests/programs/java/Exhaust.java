import java.util.ArrayList;
import java.util.List;

/**
 * Runs out of what the first argument says, as often as the second says, for tests/programs/agent.sh; says "exhausted" when
 * it has, and waits; or ends, when there is a third.
 */
public final class Exhaust {
	private static final List<Object> kept = new ArrayList<>();

	/** What fills the heap. */
	private static final class Column {
		private final long[] cells = new long[125];
	}

	private static void heap() {
		for (;;)
			kept.add(new Column());
	}

	private static final class Once extends ClassLoader {
		Class<?> define(byte[] bytes) {
			return defineClass(null, bytes, 0, bytes.length);
		}
	}

	private static void metaspace() throws Exception {
		byte[] bytes = Exhaust.class.getResourceAsStream("Exhaust$Column.class").readAllBytes();
		for (;;)
			kept.add(new Once().define(bytes));
	}

	private static void sleep() {
		try {
			Thread.sleep(600000);
		} catch (InterruptedException e) {
			return;
		}
	}

	/** Each with a stack of a gigabyte: the address space ends. */
	private static void threads() {
		for (;;) {
			Thread thread = new Thread(null, Exhaust::sleep, "writer", 1L << 30);
			thread.setDaemon(true);
			thread.start();
		}
	}

	public static void main(String[] arguments) throws Exception {
		for (int times = Integer.parseInt(arguments[1]); times > 0; times--) {
			try {
				switch (arguments[0]) {
				case "heap":
					heap();
					break;
				case "metaspace":
					metaspace();
					break;
				default:
					threads();
				}
			} catch (OutOfMemoryError e) {
				kept.clear();
				if (times == 1)
					System.out.println("exhausted");
			}
		}
		if (arguments.length < 3)
			sleep();
		System.exit(0);
	}
}
