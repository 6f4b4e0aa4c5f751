import java.util.ArrayList;
import java.util.List;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;

/** Keeps as many iterators of a database as its argument says, and waits to be killed: for tests/programs/incidents_jvm.sh. */
public final class Iterators {
	private static final List<RocksIterator> kept = new ArrayList<>();

	private static void keep(RocksDB db) {
		RocksIterator iterator = db.newIterator();
		iterator.seekToFirst();
		kept.add(iterator);
	}

	public static void main(String[] arguments) throws Exception {
		RocksDB.loadLibrary();
		try (RocksDB db = RocksDB.open(arguments[1])) {
			db.put("key".getBytes(), "value".getBytes());
			for (int i = 0; i < Integer.parseInt(arguments[0]); i++)
				keep(db);
			System.out.println("ready");
			Thread.sleep(600000);
		}
	}
}
