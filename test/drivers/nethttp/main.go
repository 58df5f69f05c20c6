// A request is a line of a form on standard input, and its outcome a line on standard output. Only what Go itself brings.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	answer(map[string]string{"version": "Go " + strings.TrimPrefix(runtime.Version(), "go")})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		login, err := url.ParseQuery(lines.Text())
		if err != nil {
			panic(err)
		}
		outcome, err := run(login)
		if err != nil {
			outcome = map[string]string{"error": strings.Join(strings.Fields(err.Error()), " ")}
		}
		answer(outcome)
	}
}

func run(login url.Values) (map[string]string, error) {
	if login.Get("scheme") == "digest" {
		return map[string]string{"cannot": "no digest"}, nil
	}
	settings := &tls.Config{RootCAs: x509.NewCertPool()}
	authority, err := os.ReadFile(login.Get("ca"))
	if err != nil {
		return nil, err
	}
	settings.RootCAs.AppendCertsFromPEM(authority)
	if login.Has("certificate") {
		pair, err := tls.LoadX509KeyPair(login.Get("certificate"), login.Get("key"))
		if err != nil {
			return nil, err
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	request, err := http.NewRequest("GET", login.Get("url"), nil)
	if err != nil {
		return nil, err
	}
	switch login.Get("scheme") {
	case "basic":
		request.SetBasicAuth(login.Get("user"), login.Get("password"))
	case "bearer":
		request.Header.Set("Authorization", "Bearer "+login.Get("token"))
	case "header":
		request.Header.Set(login.Get("header"), login.Get("token"))
	}
	transport := &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return map[string]string{"status": fmt.Sprint(response.StatusCode), "body": string(body)}, err
}

func answer(outcome map[string]string) {
	form := url.Values{}
	for name, value := range outcome {
		form.Set(name, value)
	}
	fmt.Println(form.Encode())
}
