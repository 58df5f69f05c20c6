import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** HttpClient of Java itself: a request is a line of a form on standard input, and its outcome a line on standard output. */
public final class HttpLogin {
  public static void main(String[] args) throws Exception {
    answer(Map.of("version", "Java " + System.getProperty("java.version")));
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Map<String, String> login = new HashMap<>();
      for (String pair : line.split("&")) {
        String[] parts = pair.split("=", 2);
        login.put(decode(parts[0]), decode(parts[1]));
      }
      try {
        answer(run(login));
      } catch (Exception error) {
        answer(Map.of("error", String.valueOf(error.getMessage()).replaceAll("\\s+", " ")));
      }
    }
  }

  private static Map<String, String> run(Map<String, String> login) throws Exception {
    HttpClient.Builder client = HttpClient.newBuilder().sslContext(tls(login)).connectTimeout(Duration.ofSeconds(10));
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(login.get("url"))).timeout(Duration.ofSeconds(10));
    char[] password = login.getOrDefault("password", "").toCharArray();
    switch (login.get("scheme")) {
      // It waits to be asked.
      case "basic", "digest" -> client.authenticator(new Authenticator() {
        @Override
        protected PasswordAuthentication getPasswordAuthentication() {
          return new PasswordAuthentication(login.get("user"), password);
        }
      });
      case "bearer" -> request.header("Authorization", "Bearer " + login.get("token"));
      case "header" -> request.header(login.get("header"), login.get("token"));
      default -> {}
    }
    HttpResponse<String> response = client.build().send(request.build(), HttpResponse.BodyHandlers.ofString());
    return Map.of("status", String.valueOf(response.statusCode()), "body", response.body());
  }

  private static SSLContext tls(Map<String, String> login) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    store.setCertificateEntry("ca", certificate(login.get("ca")));
    if (login.containsKey("certificate")) {
      byte[] key = Files.readAllBytes(Path.of(login.get("key") + ".pk8"));
      Certificate[] chain = {certificate(login.get("certificate"))};
      store.setKeyEntry("client", KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(key)), new char[0], chain);
    }
    TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trusted.init(store);
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(store, new char[0]);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trusted.getTrustManagers(), null);
    return context;
  }

  private static Certificate certificate(String path) throws Exception {
    try (FileInputStream file = new FileInputStream(path)) {
      return CertificateFactory.getInstance("X.509").generateCertificate(file);
    }
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
