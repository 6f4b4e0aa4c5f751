import java.awt.color.ColorSpace;
import java.awt.color.ICC_Profile;
import java.awt.image.BufferedImage;
import java.awt.image.ColorConvertOp;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;
import java.util.zip.Inflater;

/**
 * Published incidents in small: `Incidents WHICH SEED`. Each byte on stdin is a window: some of the work is done, then a dot is
 * written. Everything else that a window does is done in it: nothing goes on between two.
 */
public class Incidents {
	static final List<Object> kept = new ArrayList<>();
	static int windows;

	interface Window {
		void run() throws Exception;
	}

	/* ---- S1: compressed streams that are never closed ---- */

	static byte[] pack(String text, boolean close) throws IOException {
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		GZIPOutputStream out = new GZIPOutputStream(bytes);
		out.write(text.getBytes());
		out.finish();
		if (close)
			out.close();
		else
			kept.add(out);
		return bytes.toByteArray();
	}

	static void streams() throws Exception {
		for (int i = 0; i < 3; i++)
			pack("axiom " + i, true);
		pack("ontology", false);
	}

	/* ---- S4: a Deflater without end(), now and then, in code that collects metrics ---- */

	static void compressMetrics(boolean end) {
		Deflater deflater = new Deflater();
		deflater.setInput("map.entries=1 map.puts=2".getBytes());
		deflater.finish();
		deflater.deflate(new byte[256]);
		if (end)
			deflater.end();
		else
			kept.add(deflater);
	}

	static void metrics() {
		compressMetrics(windows % 8 != 0);
	}

	/* ---- S5: Inflaters that wait for the collector ---- */

	static void readHistogram() {
		new Inflater().setInput(new byte[16]);
	}

	static int openFiles() {
		return new File("/proc/self/fd").list().length;
	}

	static void openAndForget() throws IOException {
		new FileInputStream("/proc/self/stat");
	}

	/** The thread that ends Inflaters also closes files: when the last one is closed, it has been at work. */
	static void collect() throws Exception {
		int before = openFiles();
		openAndForget();
		do {
			System.gc();
			Thread.sleep(1);
		} while (openFiles() > before);
	}

	static void histograms() throws Exception {
		for (int i = 0; i < 20; i++)
			readHistogram();
		if (windows % 8 == 0)
			collect();
	}

	/* ---- S8: colour transforms of Java2D ---- */

	static void convertImage() {
		ICC_Profile[] profiles = {ICC_Profile.getInstance(ColorSpace.CS_sRGB), ICC_Profile.getInstance(ColorSpace.CS_GRAY)};
		ColorConvertOp op = new ColorConvertOp(profiles, null);
		op.filter(new BufferedImage(2, 2, BufferedImage.TYPE_INT_RGB), new BufferedImage(2, 2, BufferedImage.TYPE_BYTE_GRAY));
		kept.add(op);
	}

	/* ---- not native: the Java heap, and classes ---- */

	static void fillHeap() {
		for (int i = 0; i < 100; i++)
			kept.add(new byte[10_000]);
	}

	static void loadClasses() throws Exception {
		URL[] where = {Incidents.class.getProtectionDomain().getCodeSource().getLocation()};
		for (int i = 0; i < 40; i++)
			kept.add(Class.forName("Incidents", false, new URLClassLoader(where, null)));
	}

	/** Runs out of heap, and goes on. */
	static void exhaust() {
		try {
			for (;;)
				kept.add(new long[1000]);
		} catch (OutOfMemoryError e) {
			kept.clear();
		}
	}

	static Window which(String name) {
		switch (name) {
		case "streams": return Incidents::streams;
		case "metrics": return Incidents::metrics;
		case "histograms": return Incidents::histograms;
		case "images": return Incidents::convertImage;
		case "heap": return Incidents::fillHeap;
		case "nothing": return () -> { };
		case "exhaust": return () -> {
			if (windows > 1)
				exhaust();
		};
		case "classes": return Incidents::loadClasses;
		default: throw new IllegalArgumentException(name);
		}
	}

	public static void main(String[] args) throws Exception {
		Window window = which(args[0]);
		while (System.in.read() >= 0) {
			windows++;
			window.run();
			System.out.print('.');
			System.out.flush();
		}
	}
}
