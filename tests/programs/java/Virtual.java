import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;

/** Virtual threads for tests/programs/java.sh (JDK 21 and later): each leaks a block before and one after it was parked. */
public final class Virtual {
	private static void before() {
		Leaks.leak();
	}

	private static void after() {
		Leaks.leak();
	}

	private static void live() {
		before();
		try {
			Thread.sleep(20);
		} catch (InterruptedException e) {
			throw new IllegalStateException(e);
		}
		after();
	}

	public static void main(String[] arguments) throws Exception {
		Leaks.load(arguments[1]);
		Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
		List<Thread> threads = new ArrayList<>();
		for (int i = 0; i < Integer.parseInt(arguments[0]); i++)
			threads.add((Thread) start.invoke(null, (Runnable) Virtual::live));
		for (Thread thread : threads)
			thread.join();
		System.out.println("ready");
		Thread.sleep(600000);
	}
}
