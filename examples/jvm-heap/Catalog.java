import java.util.ArrayList;
import java.util.List;

/** Loads the catalog of a database, every table of it once per shard: `Catalog [SHARDS]`, 32 of them else. */
public final class Catalog {
	private static final int TABLES = 400, COLUMNS = 60;

	private record Column(String name, int type) { }

	private record Table(String name, List<Column> columns) { }

	private static final List<Table> loaded = new ArrayList<>();

	private static Table load(String name) {
		List<Column> columns = new ArrayList<>();
		for (int i = 0; i < COLUMNS; i++)
			columns.add(new Column(name + ".column" + i, i));
		return new Table(name, columns);
	}

	private static void loadShard() throws InterruptedException {
		for (int table = 0; table < TABLES; table++)
			loaded.add(load("table" + table));
		Thread.sleep(250); // while the shard itself is read
	}

	public static void main(String[] arguments) throws InterruptedException {
		int shards = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 32;
		for (int shard = 0; shard < shards; shard++)
			loadShard();
		Thread.sleep(60_000);
	}
}
