import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.rocksdb.ReadOptions;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;

/**
 * What RocksDB keeps of objects that are not closed, for tests/programs/incidents_jvm.sh: opens and closes a database as many
 * times as its argument says, and after each leaves three iterators of another one, and their options, to the collector. It ends
 * when the collector has been through with all of them, and with their finalizers where the version has any.
 */
public final class Opens {
	private static final ReferenceQueue<Object> collected = new ReferenceQueue<>();
	private static final Set<PhantomReference<Object>> awaited = new HashSet<>();

	private static void look(RocksDB db) {
		ReadOptions options = new ReadOptions();
		RocksIterator iterator = db.newIterator(options);
		iterator.seekToFirst();
		awaited.add(new PhantomReference<>(options, collected));
		awaited.add(new PhantomReference<>(iterator, collected));
	}

	private static void open(Path directory) throws Exception {
		try (RocksDB db = RocksDB.open(directory.toString())) {
			db.put("key".getBytes(), "value".getBytes());
		}
	}

	private static void collect() throws InterruptedException {
		while (!awaited.isEmpty()) {
			System.gc();
			for (Object gone = collected.remove(100); gone != null; gone = collected.poll())
				awaited.remove(gone);
		}
	}

	public static void main(String[] arguments) throws Exception {
		RocksDB.loadLibrary();
		Path directory = Path.of(arguments[1]);
		try (RocksDB db = RocksDB.open(Files.createDirectory(directory.resolve("kept")).toString())) {
			db.put("key".getBytes(), "value".getBytes());
			for (int i = 0; i < Integer.parseInt(arguments[0]); i++) {
				open(directory.resolve("opened"));
				for (int n = 0; n < 3; n++)
					look(db);
			}
			collect();
			System.out.println("ready");
			Runtime.getRuntime().halt(0);
		}
	}
}
