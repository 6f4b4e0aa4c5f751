import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Leaks of known truth for tests/programs/java.sh: each place below leaks as many blocks as the first argument says.
 * A line "= NAME: METHOD@MARK ..." says by which of our frames, innermost first; MARK is on the frame's line.
 */
public final class Leaks {
	/** Leaks one block. */
	public static native void leak();

	/** Calls back() from C. */
	private static native void through(int i);

	private static final List<ByteBuffer> kept = new ArrayList<>();
	private static int last;

	//= plain: leak plain@1 main@2
	private static void plain() {
		leak(); /*@1*/
	}

	//= inlined: leak innermost@3 inner@4 inlined@5 main@6
	private static void inlined() {
		inner(3); /*@5*/
	}

	private static void inner(int i) {
		if (i > 2)
			innermost(); /*@4*/
		else
			last--;
	}

	private static void innermost() {
		leak(); /*@3*/
	}

	//= upcall: leak back@7 through up@8 main@9
	private static void up(int i) {
		through(i); /*@8*/
	}

	private static void back(int i) {
		if (i < 0)
			shrink(-i); /*@15*/
		else if (i > 0)
			leak(); /*@7*/
	}

	//= virtual: leak Round.draw@10 draw@11 main@12
	private abstract static class Shape {
		abstract void draw();

		abstract void outline(int i);
	}

	private static final class Round extends Shape {
		@Override
		void draw() {
			leak(); /*@10*/
		}

		@Override
		void outline(int i) {
			through(i); /*@13*/
		}
	}

	/** What compiled code believed that there is not: loading it deoptimises outline, which has a frame then. */
	private static final class Square extends Shape {
		@Override
		void draw() {
			last--;
		}

		@Override
		void outline(int i) {
			last = i;
		}
	}

	private static void draw(Shape shape) {
		shape.draw(); /*@11*/
	}

	private static void outline(Shape shape, int i) {
		shape.outline(i); /*@23*/
	}

	//= deoptimised: leak shrink@14 back@15 through Round.outline@13 outline@23 main@16
	private static void shrink(int n) {
		new Square().outline(1);
		for (int i = 0; i < n; i++)
			leak(); /*@14*/
	}

	//= locked: leak locked@17 main@18
	private static synchronized void locked() {
		leak(); /*@17*/
	}

	//= lambda: leak lambda$main$0@19 main@20
	//= direct: direct@21 main@22
	private static void direct() {
		kept.add(ByteBuffer.allocateDirect(1000)); /*@21*/
	}

	static void load(String library) {
		System.load(library);
	}

	public static void main(String[] arguments) throws Exception {
		load(arguments[1]);
		int n = Integer.parseInt(arguments[0]);
		Shape shape = new Round();
		Runnable leaker = () -> leak(); /*@19*/
		for (int i = 0; i < n; i++) {
			plain(); /*@2*/
			inlined(); /*@6*/
			up(i + 1); /*@9*/
			draw(shape); /*@12*/
			outline(shape, 0);
			locked(); /*@18*/
			leaker.run(); /*@20*/
			direct(); /*@22*/
		}
		outline(shape, -n); /*@16*/
		System.out.println("ready " + last);
		Thread.sleep(600000);
	}
}
