import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpContentCompressor;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;

/**
 * An HTTP server on Netty: what is posted comes back upside down, compressed for who asks for that. With four clients that
 * load it for some seconds, `Http SECONDS`; or for clients from elsewhere, `Http serve`: it prints its port and serves.
 */
public final class Http {
	private static final AtomicLong right = new AtomicLong(), wrong = new AtomicLong();

	private static final class Upside extends SimpleChannelInboundHandler<FullHttpRequest> {
		@Override
		protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
			ByteBuf from = request.content(), to = context.alloc().buffer(from.readableBytes());
			for (int i = from.readableBytes() - 1; i >= 0; i--)
				to.writeByte(from.getByte(i));
			DefaultFullHttpResponse answer = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK, to);
			HttpUtil.setContentLength(answer, to.readableBytes());
			context.writeAndFlush(answer);
		}

		@Override
		public void exceptionCaught(ChannelHandlerContext context, Throwable why) {
			context.close(); // a client that has gone in the middle
		}
	}

	private static Channel serve() throws InterruptedException {
		return new ServerBootstrap().group(new NioEventLoopGroup(2)).channel(NioServerSocketChannel.class)
			.childHandler(new ChannelInitializer<Channel>() {
				@Override
				protected void initChannel(Channel channel) {
					channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(1 << 20),
						new HttpContentCompressor(), new Upside());
				}
			}).bind(InetAddress.getLoopbackAddress(), 0).sync().channel();
	}

	private static String line(InputStream in) throws IOException {
		StringBuilder line = new StringBuilder();
		for (int c = in.read(); c != '\n'; c = in.read()) {
			if (c < 0)
				throw new EOFException();
			line.append((char)c);
		}
		return line.toString().trim();
	}

	private static byte[] answer(InputStream in) throws IOException {
		int length = -1;
		for (String line = line(in); !line.isEmpty(); line = line(in))
			if (line.toLowerCase().startsWith("content-length:"))
				length = Integer.parseInt(line.substring(15).trim());
		return in.readNBytes(length);
	}

	private static byte[] reversed(byte[] body) {
		byte[] back = new byte[body.length];
		for (int i = 0; i < body.length; i++)
			back[i] = body[body.length - 1 - i];
		return back;
	}

	/** One connection: up to 100 requests. */
	private static void connection(int port, Random random, long end) throws IOException {
		try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
			InputStream in = new BufferedInputStream(socket.getInputStream());
			for (int n = random.nextInt(100); n >= 0 && System.nanoTime() < end; n--) {
				byte[] body = new byte[random.nextInt(20000)];
				random.nextBytes(body);
				socket.getOutputStream().write(("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + body.length + "\r\n\r\n").getBytes());
				socket.getOutputStream().write(body);
				(Arrays.equals(answer(in), reversed(body)) ? right : wrong).incrementAndGet();
			}
		}
	}

	private static Thread client(int port, int seed, long end) {
		Thread thread = new Thread(() -> {
			Random random = new Random(seed);
			while (System.nanoTime() < end) {
				try {
					connection(port, random, end);
				} catch (IOException lost) {
					wrong.incrementAndGet();
				}
			}
		});
		thread.start();
		return thread;
	}

	public static void main(String[] arguments) throws Exception {
		int port = ((InetSocketAddress)serve().localAddress()).getPort();
		if (arguments[0].equals("serve")) {
			System.out.println("port " + port);
			return; // Netty's threads go on
		}
		long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000_000L;
		Thread[] clients = new Thread[4];
		for (int i = 0; i < clients.length; i++)
			clients[i] = client(port, i, end);
		for (Thread client : clients)
			client.join();
		System.err.println(right + " requests");
		System.out.println(wrong.get() == 0 && right.get() > 0 ? "all answers right" : wrong + " answers wrong");
		System.exit(0);
	}
}
