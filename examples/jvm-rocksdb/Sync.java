import java.nio.file.Files;
import org.rocksdb.ColumnFamilyDescriptor;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.ReadOptions;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;

/** Each full hour, writes what came in through RocksDB, bucket by bucket; a quarter of an hour is an instant here. */
public final class Sync {
	private final RocksDB db;
	private final ProcessBuilder quarter;

	private Sync(RocksDB db, String mtrace) {
		this.db = db;
		this.quarter = new ProcessBuilder(mtrace, "mark", Long.toString(ProcessHandle.current().pid()), "quarter").redirectErrorStream(true);
	}

	private byte[] last(byte[] bucket) {
		ReadOptions options = new ReadOptions();
		RocksIterator iterator = db.newIterator(options);
		iterator.seekForPrev(bucket);
		return iterator.isValid() ? iterator.value() : null; // neither the iterator nor its options are closed
	}

	private void stage(int hour) throws Exception {
		ColumnFamilyHandle staged = db.createColumnFamily(new ColumnFamilyDescriptor(("hour-" + hour).getBytes()));
		db.put(staged, "rows".getBytes(), new byte[1000]);
		db.dropColumnFamily(staged); // on disk only: until the handle is closed, its tables stay in memory
	}

	private void write(int hour) throws Exception {
		stage(hour);
		for (int bucket = 0; bucket < 100; bucket++) {
			byte[] name = ("bucket-" + bucket).getBytes();
			byte[] before = last(name);
			db.put(name, new byte[before == null ? 100 : before.length]);
		}
	}

	public static void main(String[] arguments) throws Exception {
		RocksDB.loadLibrary();
		try (RocksDB db = RocksDB.open(Files.createTempDirectory("sync").toString())) {
			Sync sync = new Sync(db, arguments[0]);
			for (int quarter = 0; quarter < 32; quarter++) {
				if (quarter % 4 == 0)
					sync.write(quarter / 4);
				Process mark = sync.quarter.start();
				while (mark.isAlive())
					db.get(new byte[8]); // readers go on all the time
			}
			System.out.println("8 hours written");
		}
	}
}
