import java.nio.ByteBuffer;
import java.util.zip.CRC32;
import org.rocksdb.Options;
import org.rocksdb.ReadOptions;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;
import org.rocksdb.WriteBatch;
import org.rocksdb.WriteOptions;

/** Writes so many keys through RocksDB, one by one and in batches, then reads all of them: their count and their sum. */
public final class Keys {
	private static byte[] key(long i) {
		return ByteBuffer.allocate(8).putLong(i * 0x9e3779b97f4a7c15L).array();
	}

	private static byte[] value(long i) {
		return ByteBuffer.allocate(24 + (int)(i % 100)).putLong(i).array();
	}

	private static void write(RocksDB db, WriteOptions options, long from, long to) throws Exception {
		try (WriteBatch batch = new WriteBatch()) {
			for (long i = from; i < to; i++) {
				if (i % 2 == 0)
					db.put(options, key(i), value(i));
				else
					batch.put(key(i), value(i));
			}
			db.write(options, batch);
		}
	}

	private static void read(RocksDB db) {
		CRC32 sum = new CRC32();
		long n = 0;
		try (ReadOptions options = new ReadOptions(); RocksIterator iterator = db.newIterator(options)) {
			for (iterator.seekToFirst(); iterator.isValid(); iterator.next(), n++) {
				sum.update(iterator.key());
				sum.update(iterator.value());
			}
		}
		System.out.println(n + " keys, sum " + sum.getValue());
	}

	public static void main(String[] arguments) throws Exception {
		long keys = Long.parseLong(arguments[0]);
		RocksDB.loadLibrary();
		try (Options options = new Options().setCreateIfMissing(true); WriteOptions writing = new WriteOptions();
			 RocksDB db = RocksDB.open(options, arguments[1])) {
			for (long i = 0; i < keys; i += 1000)
				write(db, writing, i, Math.min(i + 1000, keys));
			read(db);
		}
	}
}
