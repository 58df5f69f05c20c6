// A server of net/http: it answers with the target that it saw, and says on standard output what it has seen, a line of JSON for each
// request.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
)

type seen struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Target string `json:"target"`
	Path   string `json:"path"`
	Body   []byte `json:"body"`
	Whole  bool   `json:"whole"`
}

func main() {
	var turn sync.Mutex
	lines := json.NewEncoder(os.Stdout)
	handler := func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		id := request.Header.Get("X-Request-Id")
		turn.Lock()
		err = firstOf(err, lines.Encode(seen{id, request.Method, request.RequestURI, request.URL.Path, body, err == nil}))
		turn.Unlock()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		text, _ := json.Marshal(map[string]string{"id": id, "target": request.RequestURI})
		answer.Write(text)
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
