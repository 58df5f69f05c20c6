import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/** pgjdbc: a login is a line of a form on standard input, and its outcome a line on standard output. */
public final class PgjdbcLogin {
  public static void main(String[] args) throws Exception {
    DriverManager.setLoginTimeout(10);
    answer(Map.of("version", "pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION + ", Java " + System.getProperty("java.version")));
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Map<String, String> login = new HashMap<>();
      for (String pair : line.split("&")) {
        String[] parts = pair.split("=", 2);
        login.put(decode(parts[0]), decode(parts[1]));
      }
      try {
        answer(run(login));
      } catch (SQLException error) {
        Map<String, String> outcome = new HashMap<>();
        outcome.put("error", told(error));
        if (error.getSQLState() != null) outcome.put("code", error.getSQLState());
        answer(outcome);
      }
    }
  }

  private static Map<String, String> run(Map<String, String> login) throws SQLException {
    Properties settings = new Properties();
    put(settings, "user", login.get("user"));
    put(settings, "password", login.get("password"));
    put(settings, "sslmode", login.get("tls").equals("off") ? "disable" : login.get("tls"));
    put(settings, "sslrootcert", login.get("ca"));
    put(settings, "sslcert", login.getOrDefault("certificate", ""));
    // It takes a key in DER (PKCS #8).
    put(settings, "sslkey", login.containsKey("key") ? login.get("key") + ".pk8" : "");
    put(settings, "channelBinding", login.get("binding"));
    put(settings, "sslNegotiation", login.get("negotiation"));
    String url = "jdbc:postgresql://" + login.get("host") + ":" + login.get("port") + "/" + login.get("database");
    try (Connection connection = DriverManager.getConnection(url, settings);
        var statement = connection.prepareStatement("select current_user::text, ?::text, ?::int + 1")) {
      statement.setString(1, login.get("said"));
      statement.setInt(2, 41);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        return Map.of("who", rows.getString(1), "said", rows.getString(2), "next", rows.getString(3));
      }
    }
  }

  private static void put(Properties settings, String name, String value) {
    if (value != null) settings.setProperty(name, value);
  }

  /** With its causes: what a handshake fails for is in them. */
  private static String told(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable at = error; at != null; at = at.getCause()) text.append(at.getMessage()).append("; ");
    return text.toString().replaceAll("\\s+", " ");
  }

  private static void answer(Map<String, String> outcome) {
    StringBuilder line = new StringBuilder();
    outcome.forEach((name, value) -> line.append(line.isEmpty() ? "" : "&").append(name).append('=').append(encode(value)));
    System.out.println(line);
    System.out.flush();
  }

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8);
  }

  private static String decode(String text) {
    return URLDecoder.decode(text, StandardCharsets.UTF_8);
  }
}
