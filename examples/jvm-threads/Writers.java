import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Writes to buckets of tables, each through a writer of its own, as the SDK's constructor has it. */
public final class Writers {
	private static final int BUCKETS = 20;
	private static final List<Writer> open = new ArrayList<>(); // the next hour finds none of them, and opens more

	private static final class Writer {
		private final ExecutorService pool = Executors.newFixedThreadPool(1); // a thread per bucket and table

		void write(CountDownLatch written) {
			pool.execute(written::countDown);
		}
	}

	private static void hourly(String table) throws InterruptedException {
		CountDownLatch written = new CountDownLatch(BUCKETS);
		for (int bucket = 0; bucket < BUCKETS; bucket++) {
			Writer writer = new Writer();
			writer.write(written);
			open.add(writer);
		}
		written.await();
	}

	public static void main(String[] arguments) throws InterruptedException {
		for (String table : List.of("orders", "payments", "returns"))
			hourly(table);
		System.out.println(open.size() + " writers are open");
		System.out.flush();
		Runtime.getRuntime().halt(0);
	}
}
