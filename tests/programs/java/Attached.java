import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.util.zip.Deflater;

/**
 * A JVM under load, to be attached to: `Attached N LIBLEAKS LIBATTACHED early|late`. Says "running", then leaks as Leaks
 * does at a byte on stdin, and says "ready" as that does. early: the library of the leaks is there before.
 */
public class Attached {
	/** Opens NAME as the library's own RUNPATH says. */
	static native boolean open(String name);

	interface Work {
		void run() throws Exception;
	}

	static void load(String name, Work work) {
		Thread thread = new Thread(() -> {
			try {
				while (true)
					work.run();
			} catch (Exception e) {
				System.out.println(name + ": " + e);
			}
		}, name);
		thread.setDaemon(true);
		thread.start();
	}

	static void deflate() throws Exception {
		Deflater deflater = new Deflater();
		deflater.setInput(new byte[1000]);
		deflater.finish();
		deflater.deflate(new byte[2000]);
		deflater.end();
		Thread.sleep(1);
	}

	static void loadClasses() throws Exception {
		URL[] where = {Attached.class.getProtectionDomain().getCodeSource().getLocation()};
		try (URLClassLoader loader = new URLClassLoader(where, null)) {
			Class.forName("Unloaded", false, loader);
		}
		Thread.sleep(1);
	}

	static void collect() throws Exception {
		ByteBuffer.allocateDirect(5000);
		System.gc();
		Thread.sleep(5);
	}

	static void comeAndGo() throws Exception {
		Thread thread = new Thread(() -> ByteBuffer.allocateDirect(3000));
		thread.start();
		thread.join();
	}

	public static void main(String[] arguments) throws Exception {
		System.load(arguments[2]);
		if (arguments[3].equals("early"))
			Leaks.load(arguments[1]);
		load("deflate", Attached::deflate);
		load("classes", Attached::loadClasses);
		load("collect", Attached::collect);
		load("threads", Attached::comeAndGo);
		System.out.println("running");
		System.in.read();
		System.out.println("its own library is found: " + open("liborigin.so"));
		Leaks.main(new String[] {arguments[0], arguments[1]});
	}
}
