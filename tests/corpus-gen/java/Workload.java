import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongUnaryOperator;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/** A program for async-profiler: lambdas, streams, regexes, locks and allocation, on two threads. */
public final class Workload {
    private static final Object LOCK = new Object();
    private static long sunk;

    public static void main(String[] args) throws InterruptedException {
        long end = System.currentTimeMillis() + Long.parseLong(args[0]);
        Thread helper = new Thread(() -> runUntil(end), "helper");
        helper.start();
        runUntil(end);
        helper.join();
        System.out.println(sunk);
    }

    private static void runUntil(long end) {
        while (System.currentTimeMillis() < end) {
            sink(streams() + words() + fold(12, x -> x * 31 + 7));
        }
    }

    private static void sink(long value) {
        synchronized (LOCK) {
            for (int i = 0; i < 2000; i++) {
                sunk = sunk * 31 + value;
            }
        }
    }

    private static long streams() {
        return LongStream.range(0, 5000).filter(n -> n % 3 != 0).map(n -> n * n).boxed()
                .collect(Collectors.groupingBy(n -> n % 17, Collectors.summingLong(n -> n)))
                .values().stream().mapToLong(Long::longValue).sum();
    }

    private static long words() {
        Map<String, Integer> counts = new HashMap<>();
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 600; i++) {
            text.append("word").append(i % 37).append(i % 5 == 0 ? ", " : " ");
        }
        for (String word : Pattern.compile("[ ,]+").split(text)) {
            counts.merge(word, 1, Integer::sum);
        }
        return counts.size();
    }

    private static long fold(int depth, LongUnaryOperator step) {
        if (depth == 0) {
            List<Long> held = new ArrayList<>();
            for (long i = 0; i < 50; i++) {
                held.add(step.applyAsLong(i));
            }
            return held.stream().reduce(0L, Long::sum);
        }
        return fold(depth - 1, step) + (depth % 2 == 0 ? fold(depth - 2, step) : 1);
    }
}
