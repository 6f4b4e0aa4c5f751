/** A feed with its work in C: every subscriber is held by a global reference until it is told that the feed is closed. */
public final class Feed {
	static {
		System.loadLibrary("feed");
	}

	private static native void subscribe(Object subscriber);

	private static native void unsubscribe(Object subscriber);

	private static void read(int page) {
		Object subscriber = new byte[1000];
		subscribe(subscriber);
		if (page % 4 == 0)
			return; // an empty page: unsubscribe is forgotten
		unsubscribe(subscriber);
	}

	public static void main(String[] arguments) {
		for (int page = 0; page < 2000; page++)
			read(page);
		System.out.println("2000 pages read");
	}
}
