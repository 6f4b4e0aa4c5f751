import com.corundumstudio.socketio.Configuration;
import com.corundumstudio.socketio.SocketIOClient;
import com.corundumstudio.socketio.SocketIOServer;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Semaphore;

/** A push service, and its clients: six who watch a room, and fifty who come, join and go. */
public final class Push {
	private static final Semaphore joined = new Semaphore(0), left = new Semaphore(0);
	private static final HttpClient http = HttpClient.newHttpClient();
	private static final String talk = "something that was said in this room, and is told to all. ".repeat(1000);

	/** What the room is told of somebody who went. */
	@JsonPropertyOrder({"talk", "name"})
	public static final class Member {
		private final SocketIOClient client;

		Member(SocketIOClient client) {
			this.client = client;
		}

		public String getTalk() {
			return talk;
		}

		public String getName() {
			return client.get("name").toString(); // nobody ever set it: the encoder throws, half way
		}
	}

	/** A client speaks Engine.IO over a WebSocket: it is told "40" when it is connected, and joins. */
	private static final class Client implements WebSocket.Listener {
		@Override
		public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
			if (text.toString().equals("40"))
				socket.sendText("42[\"join\",\"lobby\"]", true);
			return WebSocket.Listener.super.onText(socket, text, last);
		}
	}

	private static SocketIOServer serve(int port) {
		Configuration configuration = new Configuration();
		configuration.setHostname("127.0.0.1");
		configuration.setPort(port);
		configuration.setWorkerThreads(1);
		SocketIOServer server = new SocketIOServer(configuration);
		server.addEventListener("join", String.class, (client, room, answer) -> {
			client.joinRoom(room);
			joined.release();
		});
		server.addDisconnectListener(client -> {
			server.getRoomOperations("lobby").sendEvent("left", new Member(client));
			left.release();
		});
		server.start();
		return server;
	}

	private static WebSocket come(int port) throws Exception {
		URI uri = URI.create("ws://127.0.0.1:" + port + "/socket.io/?EIO=3&transport=websocket");
		WebSocket socket = http.newWebSocketBuilder().buildAsync(uri, new Client()).get();
		joined.acquire();
		return socket;
	}

	private static int freePort() throws Exception {
		try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
			return socket.getLocalPort();
		}
	}

	public static void main(String[] arguments) throws Exception {
		int port = freePort();
		SocketIOServer server = serve(port);
		for (int watcher = 0; watcher < 6; watcher++)
			come(port);
		for (int visitor = 0; visitor < 50; visitor++) {
			come(port).sendClose(WebSocket.NORMAL_CLOSURE, "bye").get();
			left.acquire();
		}
		System.out.println("50 came, joined and went");
		Runtime.getRuntime().halt(0);
	}
}
