import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;

/**
 * Direct buffers in a steady state: `Direct THREADS BUFFERS OPERATIONS`. Each thread keeps BUFFERS buffers of 4 KiB and
 * replaces them in turn, OPERATIONS times; a replaced one is freed at once, as Netty does, not when a collection finds it.
 */
public class Direct {
    static final int BYTES = 4096;

    static void work(int buffers, long operations, Object unsafe, Method free) {
        try {
            ByteBuffer[] held = new ByteBuffer[buffers];
            for (long i = 0; i < operations; i++) {
                int at = (int) (i % buffers);
                if (held[at] != null)
                    free.invoke(unsafe, held[at]);
                held[at] = ByteBuffer.allocateDirect(BYTES);
                held[at].put(0, (byte) 1);
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    public static void main(String[] arguments) throws Exception {
        int threads = Integer.parseInt(arguments[0]), buffers = Integer.parseInt(arguments[1]);
        long operations = Long.parseLong(arguments[2]);
        Class<?> type = Class.forName("sun.misc.Unsafe");
        Field field = type.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        Object unsafe = field.get(null);
        Method free = type.getMethod("invokeCleaner", ByteBuffer.class);
        Thread[] all = new Thread[threads];
        for (int i = 0; i < threads; i++) {
            all[i] = new Thread(() -> work(buffers, operations, unsafe, free));
            all[i].start();
        }
        for (Thread thread : all)
            thread.join();
        System.out.println("replaced " + threads * operations);
    }
}
