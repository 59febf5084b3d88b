import com.networknt.schema.Error;
import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import tools.jackson.databind.json.JsonMapper;

/**
 * Validates messages with networknt's validator: each line of standard input is a question, each line of standard output
 * an answer.
 *
 * <p>Question: {"schema": TEXT, "instances": [TEXT, ...]}, all of them JSON texts. Answer: {"results": [{"valid": true,
 * "errors": [{"pointer": TEXT, "keyword": TEXT, "path": TEXT}, ...]}, ...]}, or {"error": TEXT} if the schema does not
 * compile. The path leads through the schema to the keyword.
 */
public class Validate {
    record Question(String schema, List<String> instances) {}

    record Fault(String pointer, String keyword, String path) {}

    record Result(boolean valid, List<Fault> errors) {}

    private static final JsonMapper JSON = JsonMapper.builder().build();

    static Schema compile(String text) {
        var schema = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12).getSchema(text);
        schema.initializeValidators(); // otherwise a fault in the schema would be found only with the first message
        return schema;
    }

    // The verdict is known at the first fault: a text that is longer than maxLength is never compared with the pattern.
    // Java's regular expressions need stack for each repetition, and may end in a StackOverflowError.
    static Result judge(Schema schema, String instance) {
        var first = schema.validate(instance, InputFormat.JSON, context ->
                context.executionConfig(config -> config.failFast(true)));
        if (first.isEmpty()) {
            return new Result(true, List.of());
        }
        try {
            return new Result(false, faults(schema.validate(instance, InputFormat.JSON)));
        } catch (StackOverflowError error) {
            return new Result(false, faults(first));
        }
    }

    static List<Fault> faults(List<Error> errors) {
        return errors.stream().map(Validate::fault).toList();
    }

    static Fault fault(Error error) {
        return new Fault(
                error.getInstanceLocation().toString(), error.getKeyword(), error.getEvaluationPath().toString());
    }

    static Map<String, Object> answer(Question question) {
        try {
            var schema = compile(question.schema());
            var results = question.instances().stream().map(instance -> judge(schema, instance)).toList();
            return Map.of("results", results);
        } catch (RuntimeException error) {
            return Map.of("error", error.toString());
        }
    }

    static String version() throws IOException {
        var properties = new Properties();
        try (var file = Schema.class.getResourceAsStream(
                "/META-INF/maven/com.networknt/json-schema-validator/pom.properties")) {
            properties.load(file);
        }
        return properties.getProperty("version");
    }

    public static void main(String[] arguments) throws IOException {
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        output.println(JSON.writeValueAsString(Map.of("engine", "networknt json-schema-validator", "version", version())));
        for (String line; (line = input.readLine()) != null; ) {
            output.println(JSON.writeValueAsString(answer(JSON.readValue(line, Question.class))));
        }
    }
}
