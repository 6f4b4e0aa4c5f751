/** Says hello, with its arguments; for tests/programs/agent.sh. */
public final class Hello {
	public static void main(String[] arguments) {
		System.out.println("hello " + String.join(" ", arguments));
	}
}
