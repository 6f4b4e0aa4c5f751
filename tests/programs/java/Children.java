import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** `Children N`: at a byte on stdin starts N children, one after the other, and says how many did as they should. */
public class Children {
	public static void main(String[] arguments) throws Exception {
		List<ByteBuffer> kept = new ArrayList<>();
		int n = Integer.parseInt(arguments[0]), good = 0;
		System.out.println("running");
		System.in.read();
		for (int i = 0; i < n; i++) {
			kept.add(ByteBuffer.allocateDirect(1000));
			Process child = new ProcessBuilder("/bin/sh", "-c", "echo hi; exit 3").start();
			String said = new String(child.getInputStream().readAllBytes());
			if (said.equals("hi\n") && child.waitFor() == 3)
				good++;
		}
		System.out.println("good " + good);
	}
}
