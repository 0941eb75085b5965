import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/** The same fold in Kafka Streams: cents and bookings per key, in RocksDB with a changelog topic; prints one line of JSON. */
public final class Balances {
    record Balance(long cents, long bookings) {}

    private static final ObjectMapper JSON = new ObjectMapper();

    static JsonNode read(byte[] value) {
        try {
            return JSON.readTree(value);
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    static Serde<Balance> serde() {
        return Serdes.serdeFrom(
            (topic, each) -> each == null ? null : ByteBuffer.allocate(16).putLong(each.cents()).putLong(each.bookings()).array(),
            (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                ByteBuffer held = ByteBuffer.wrap(bytes);
                return new Balance(held.getLong(), held.getLong());
            });
    }

    static Properties configure(String bootstrap, String application, String directory, String threads, String guarantee) {
        Properties chosen = new Properties();
        chosen.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        chosen.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        chosen.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        chosen.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        chosen.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        chosen.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        chosen.put("main.consumer.isolation.level", "read_committed");
        return chosen;
    }

    public static void main(String[] given) throws Exception {
        String topic = given[1];
        long total = Long.parseLong(given[2]);
        AtomicLong seen = new AtomicLong();
        AtomicLong began = new AtomicLong();
        CountDownLatch done = new CountDownLatch(1);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey()
            .aggregate(
                () -> new Balance(0, 0),
                (key, value, held) -> {
                    began.compareAndSet(0, System.nanoTime());
                    Balance made = new Balance(held.cents() + read(value).get("data").get("cents").asLong(), held.bookings() + 1);
                    if (seen.incrementAndGet() == total) {
                        done.countDown();
                    }
                    return made;
                },
                Materialized.<String, Balance, KeyValueStore<Bytes, byte[]>>as("balance")
                    .withKeySerde(Serdes.String())
                    .withValueSerde(serde()));
        try (KafkaStreams streams = new KafkaStreams(builder.build(), configure(given[0], given[3], given[4], given[5], given[6]))) {
            streams.start();
            done.await();
            long folded = System.nanoTime();
            long cents = 0;
            var store = streams.store(StoreQueryParameters.fromNameAndType("balance", QueryableStoreTypes.<String, Balance>keyValueStore()));
            try (var rows = store.all()) {
                while (rows.hasNext()) {
                    cents += rows.next().value.cents();
                }
            }
            long summed = System.nanoTime();
            streams.close(Duration.ofSeconds(60));
            double seconds = (System.nanoTime() - summed + folded - began.get()) / 1e9;
            System.out.println("{\"rate\": " + total / seconds + ", \"cents\": " + cents + "}");
        }
    }
}
