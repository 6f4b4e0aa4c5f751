import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;

/**
 * Everything comes and goes: `Churn BLOCKS THREADS LIBCHURN PLUGIN_A PLUGIN_B`, for tests/programs/jvm_churn.sh. Says "running"
 * when libraries, attached threads, classes and collections do; at a byte on stdin it lets them end, leaks BLOCKS blocks from
 * each plugin, opened and closed for each, and one from each of THREADS threads that attach and detach, and says "ready".
 */
public final class Churn {
	/** Opens the library, has it allocate 40 bytes, and closes it. */
	private static native void cycle(String library, boolean keep);

	/** So many threads, one after the other, attach, call that method, detach, and allocate once more. */
	private static native void threads(int count, String method);

	private static native void leak();

	private interface Work {
		void run() throws Exception;
	}

	private static volatile boolean done;
	private static final List<Thread> workers = new ArrayList<>();

	private static void keepAt(Work work) {
		Thread worker = new Thread(() -> {
			try {
				while (!done)
					work.run();
			} catch (Exception e) {
				System.out.println(e);
			}
		});
		workers.add(worker);
		worker.start();
	}

	private static void loadClasses() throws Exception {
		URL[] where = {Churn.class.getProtectionDomain().getCodeSource().getLocation()};
		try (URLClassLoader loader = new URLClassLoader(where, null)) {
			Class.forName("Churn", false, loader);
		}
		Thread.sleep(1);
	}

	private static void collect() throws Exception {
		System.gc();
		Thread.sleep(5);
	}

	static void passes() {
	}

	static void leaks() {
		leak();
	}

	private static void exactly(String library) {
		cycle(library, true);
	}

	public static void main(String[] arguments) throws Exception {
		int blocks = Integer.parseInt(arguments[0]);
		System.load(arguments[2]);
		for (int i = 3; i < 5; i++) {
			String library = arguments[i];
			keepAt(() -> cycle(library, false));
		}
		for (int i = 0; i < 3; i++)
			keepAt(() -> threads(10, "passes"));
		keepAt(Churn::loadClasses);
		keepAt(Churn::collect);
		System.out.println("running");
		System.in.read();
		done = true;
		for (Thread worker : workers)
			worker.join();
		for (int i = 0; i < blocks; i++) {
			exactly(arguments[3]);
			exactly(arguments[4]);
		}
		threads(Integer.parseInt(arguments[1]), "leaks");
		System.out.println("ready");
		Thread.sleep(600000);
	}
}
