import java.util.zip.Deflater;

/** Compressors made and ended in a loop, as a server does that forgets to pool them: `Deflate TIMES`. */
public class Deflate {
    public static void main(String[] arguments) {
        long times = Long.parseLong(arguments[0]), written = 0;
        byte[] in = new byte[64], out = new byte[256];
        for (long i = 0; i < times; i++) {
            Deflater deflater = new Deflater();
            if (i % 64 == 0) {
                deflater.setInput(in);
                deflater.finish();
                written += deflater.deflate(out);
            }
            deflater.end();
        }
        System.out.println("written " + written);
    }
}
