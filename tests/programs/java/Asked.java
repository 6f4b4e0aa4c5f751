import java.util.ArrayList;
import java.util.List;

/** Keeps N nodes; at a line on stdin as many more. Says when it has done so. */
public class Asked {
	static final List<Node> kept = new ArrayList<>();

	static class Node {
		long a, b;
	}

	static void keep(int n) {
		for (int i = 0; i < n; i++)
			kept.add(new Node());
	}

	public static void main(String[] arguments) throws Exception {
		int n = Integer.parseInt(arguments[0]);
		do {
			keep(n);
			System.out.println("ready " + kept.size());
		} while (System.in.read() >= 0);
	}
}
