// A login is a line of a form on standard input, and its outcome a line on standard output.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func main() {
	answer(map[string]string{"version": "pgx " + version() + ", " + strings.Replace(runtime.Version(), "go", "Go ", 1)})
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
			var refused *pgconn.PgError
			if errors.As(err, &refused) {
				outcome["code"] = refused.Code
			}
		}
		answer(outcome)
	}
}

func run(login url.Values) (map[string]string, error) {
	settings := []string{}
	for name, value := range map[string]string{
		"host":            login.Get("host"),
		"port":            login.Get("port"),
		"dbname":          login.Get("database"),
		"user":            login.Get("user"),
		"password":        login.Get("password"),
		"sslmode":         strings.Replace(login.Get("tls"), "off", "disable", 1),
		"sslrootcert":     login.Get("ca"),
		"sslcert":         login.Get("certificate"),
		"sslkey":          login.Get("key"),
		"channel_binding": login.Get("binding"),
		"sslnegotiation":  login.Get("negotiation"),
	} {
		if value != "" {
			settings = append(settings, fmt.Sprintf("%s='%s'", name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)))
		}
	}
	config, err := pgx.ParseConfig(strings.Join(settings, " "))
	if err != nil {
		return nil, err
	}
	if login.Has("token") {
		config.OAuthTokenProvider = func(context.Context) (string, error) { return login.Get("token"), nil }
	}
	within, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection, err := pgx.ConnectConfig(within, config)
	if err != nil {
		return nil, err
	}
	defer connection.Close(within)
	var who, said string
	var next int
	row := connection.QueryRow(within, "select current_user::text, $1::text, $2::int + 1", login.Get("said"), 41)
	if err := row.Scan(&who, &said, &next); err != nil {
		return nil, err
	}
	return map[string]string{"who": who, "said": said, "next": fmt.Sprint(next)}, nil
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/jackc/pgx/v5" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "of unknown version"
}

func answer(outcome map[string]string) {
	form := url.Values{}
	for name, value := range outcome {
		form.Set(name, value)
	}
	fmt.Println(form.Encode())
}
