import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.zip.Deflater;
import org.junit.jupiter.api.Test;

/** Reports are packed: the test passes, and each packing keeps what zlib allocated. */
class ReportsTest {
	static int pack(byte[] report, byte[] packed) {
		Deflater deflater = new Deflater();
		deflater.setInput(report);
		deflater.finish();
		return deflater.deflate(packed); // no deflater.end()
	}

	/** As often as -Dtimes= says. */
	@Test
	void packsReports() {
		byte[] report = new byte[10_000], packed = new byte[20_000];
		for (int i = 0; i < Integer.getInteger("times", 1); i++)
			assertTrue(pack(report, packed) < report.length);
	}
}
