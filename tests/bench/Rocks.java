import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.WriteOptions;

/**
 * RocksDB filled through JNI: `Rocks DIRECTORY KEYS`: KEYS keys of 16 bytes in random order, with values of 100 bytes, one
 * put each, as db_bench's fillrandom does. What was in the directory goes first; nothing is left there.
 */
public class Rocks {
    static final int KEY_BYTES = 16, VALUE_BYTES = 100;

    static void fill(RocksDB db, long keys) throws Exception {
        SplittableRandom random = new SplittableRandom(1);
        byte[] value = new byte[VALUE_BYTES];
        ByteBuffer key = ByteBuffer.allocate(KEY_BYTES);
        try (WriteOptions write = new WriteOptions()) {
            for (long i = 0; i < keys; i++) {
                key.putLong(0, random.nextLong(keys));
                value[(int) (i % VALUE_BYTES)]++;
                db.put(write, key.array(), value);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        RocksDB.loadLibrary();
        String directory = Path.of(arguments[0]).toAbsolutePath().toString();
        long keys = Long.parseLong(arguments[1]);
        try (Options options = new Options().setCreateIfMissing(true)) {
            RocksDB.destroyDB(directory, options);
            try (RocksDB db = RocksDB.open(options, directory)) {
                fill(db, keys);
            }
            RocksDB.destroyDB(directory, options);
        }
        System.out.println("written " + keys);
    }
}
