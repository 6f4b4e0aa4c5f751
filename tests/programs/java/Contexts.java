import io.netty.internal.tcnative.Library;
import io.netty.internal.tcnative.SSL;
import io.netty.internal.tcnative.SSLContext;

/** Makes TLS contexts and frees each at once, by netty-tcnative 2.0.60, which forgets a part: for tests/programs/incidents_jvm.sh. */
public final class Contexts {
	private static void churn() throws Exception {
		long context = SSLContext.make(SSL.SSL_PROTOCOL_ALL, SSL.SSL_MODE_SERVER);
		SSLContext.free(context);
	}

	public static void main(String[] arguments) throws Exception {
		System.load(arguments[1]);
		Library.initialize("provided", null);
		for (int i = 0; i < Integer.parseInt(arguments[0]); i++)
			churn();
		System.out.println("ready");
		Runtime.getRuntime().halt(0);
	}
}
