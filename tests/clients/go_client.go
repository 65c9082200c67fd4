// Go's net/http against the server at $BASE. run.sh describes the output.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	base    = os.Getenv("BASE")
	isHTTP2 = strings.HasPrefix(base, "https:")
)

func check(name string, run func(*client) error) {
	c := newClient()
	err := run(c)
	c.http.CloseIdleConnections()
	if err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Printf("failed %s: %s\n", name, line)
		return
	}
	fmt.Printf("ok %s\n", name)
}

type client struct {
	http  *http.Client
	mutex sync.Mutex
	// How many connections were made, and how often one was reused.
	made, reused int
}

func newClient() *client {
	transport := &http.Transport{MaxConnsPerHost: 10, ExpectContinueTimeout: 15 * time.Second}
	transport.MaxIdleConnsPerHost = 10
	// Over TLS, the authorities are those of the variable SSL_CERT_FILE.
	transport.ForceAttemptHTTP2 = true
	return &client{http: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

// send sends a request, and returns the status and the body of the response.
func (c *client) send(request *http.Request) (int, []byte, error) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if info.Reused {
			c.reused++
		} else {
			c.made++
		}
	}}
	ctx := httptrace.WithClientTrace(request.Context(), trace)
	response, err := c.http.Do(request.WithContext(ctx))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if isHTTP2 != (response.ProtoMajor == 2) {
		return 0, nil, fmt.Errorf("the response is %s", response.Proto)
	}
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// expect sends a request, and checks the status and, unless it is empty, the data that is echoed.
func (c *client) expect(method, path string, body io.Reader, status int, data string) error {
	request, err := http.NewRequest(method, base+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/plain")
	return c.expectRequest(request, status, data)
}

func (c *client) expectRequest(request *http.Request, status int, data string) error {
	path := request.URL.Path
	got, response, err := c.send(request)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if got != status {
		return fmt.Errorf("%s: expected %d, got %d", path, status, got)
	}
	var document struct{ Data string }
	if data == "" {
		return nil
	}
	if err := json.Unmarshal(response, &document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if document.Data != data {
		return fmt.Errorf("%s: %d bytes echoed, not %d", path, len(document.Data), len(data))
	}
	return nil
}

func keepAlive(c *client) error {
	requests := []struct {
		method, path string
		status       int
	}{
		{"GET", "/get", 200}, {"HEAD", "/bytes/1000", 200}, {"GET", "/stream/5", 200},
		{"GET", "/nothing", 404}, {"GET", "/status/204", 204}, {"DELETE", "/delete", 200},
		{"GET", "/delay/0.05", 200}, {"GET", "/bytes/200000", 200},
	}
	for _, one := range requests {
		if err := c.expect(one.method, one.path, nil, one.status, ""); err != nil {
			return err
		}
	}
	if c.made != 1 || c.reused != len(requests)-1 {
		return fmt.Errorf("%d connections made, %d times reused", c.made, c.reused)
	}
	return nil
}

func posted(c *client) error {
	data := strings.Repeat("x", 900_000)
	return c.expect("POST", "/post", strings.NewReader(data), 200, data)
}

func chunked(c *client) error {
	for turn := 0; turn < 2; turn++ {
		reader, writer := io.Pipe()
		go func() {
			for part := 0; part < 40; part++ {
				_, _ = writer.Write(bytes.Repeat([]byte("c"), 10_001))
			}
			writer.Close()
		}()
		if err := c.expect("PUT", "/put", reader, 200, strings.Repeat("c", 400_040)); err != nil {
			return err
		}
	}
	if c.made != 1 {
		return fmt.Errorf("%d connections", c.made)
	}
	return nil
}

func trailers(c *client) error {
	request, err := http.NewRequest("POST", base+"/post", io.MultiReader(strings.NewReader("abc")))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/plain")
	request.Trailer = http.Header{"X-Sum": {"3"}}
	return c.expectRequest(request, 200, "abc")
}

func expectContinue(c *client) error {
	data := strings.Repeat("e", 800_000)
	for turn := 0; turn < 2; turn++ {
		request, err := http.NewRequest("POST", base+"/post", strings.NewReader(data))
		if err != nil {
			return err
		}
		continued := false
		trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
		request = request.WithContext(httptrace.WithClientTrace(context.Background(), trace))
		request.Header.Set("Content-Type", "text/plain")
		request.Header.Set("Expect", "100-continue")
		if err := c.expectRequest(request, 200, data); err != nil {
			return err
		}
		if !continued {
			return errors.New("there was no 100 Continue")
		}
	}
	return nil
}

// refused gets responses that need no body, well before the client would send it.
func refused(c *client) error {
	requests := []struct {
		path           string
		length, status int
	}{{"/post", 5_000_000, 413}, {"/status/401", 900_000, 401}}
	for _, one := range requests {
		body := &counted{bytes.NewReader(make([]byte, one.length)), 0}
		request, err := http.NewRequest("POST", base+one.path, body)
		if err != nil {
			return err
		}
		request.ContentLength = int64(one.length)
		request.Header.Set("Expect", "100-continue")
		if err := c.expectRequest(request, one.status, ""); err != nil {
			return err
		}
		if body.read > 0 {
			return fmt.Errorf("%s: %d bytes of the body were sent", one.path, body.read)
		}
	}
	return nil
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(into []byte) (int, error) {
	count, err := c.Reader.Read(into)
	c.read += count
	return count, err
}

func abandoned(c *client) error {
	for turn := 0; turn < 10; turn++ {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		request, err := http.NewRequestWithContext(ctx, "GET", base+"/delay/9", nil)
		if err != nil {
			cancel()
			return err
		}
		_, _, err = c.send(request)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the delay ended with %v", err)
		}
	}
	return c.expect("GET", "/get", nil, 200, "")
}

func many(c *client) error {
	failures := make(chan error, 200)
	for n := 0; n < cap(failures); n++ {
		go func() { failures <- c.expect("GET", "/delay/0.05", nil, 200, "") }()
	}
	for n := 0; n < cap(failures); n++ {
		if err := <-failures; err != nil {
			return err
		}
	}
	if c.made > 10 {
		return fmt.Errorf("%d connections", c.made)
	}
	return nil
}

func main() {
	check("different responses on one connection", keepAlive)
	check("POST with a length", posted)
	check("chunked PUT, twice on one connection", chunked)
	check("POST with trailers", trailers)
	check("Expect: 100-continue with a large body", expectContinue)
	check("Expect: 100-continue and 413 or 401 before the body", refused)
	check("requests that time out at the client", abandoned)
	check("200 delays on 10 reused connections", many)
}
