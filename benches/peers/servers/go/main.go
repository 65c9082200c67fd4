// Go's net/http, with GOMAXPROCS as the number of loops.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const hello = "Hello, World!"

var piece = make([]byte, 64*1024)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "IP:PORT to listen on")
	loops := flag.Int("loops", 1, "GOMAXPROCS")
	flag.Parse()
	runtime.GOMAXPROCS(*loops)

	mux := http.NewServeMux()
	mux.HandleFunc("/", root)
	mux.HandleFunc("/delay/", pause(time.Second))
	mux.HandleFunc("/block/", pause(time.Millisecond))
	mux.HandleFunc("/users/", users)
	mux.HandleFunc("/orgs/", issue)
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/download/", zeros(true))
	mux.HandleFunc("/stream/", zeros(false))

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s (%s)\n", *listen, runtime.Version())
	log.Fatal(http.Serve(listener, mux))
}

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, body)
}

func root(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	text(w, hello)
}

// A goroutine that sleeps blocks no thread: delaying and blocking are one here.
func pause(unit time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		count, err := number(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		time.Sleep(time.Duration(count) * unit)
		text(w, hello)
	}
}

func number(r *http.Request) (int64, error) {
	return strconv.ParseInt(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], 10, 64)
}

func users(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")[2:]
	switch {
	case len(parts) == 1 || len(parts) == 2 && parts[1] == "posts":
		text(w, parts[0])
	case len(parts) == 3 && parts[1] == "posts":
		text(w, parts[0]+"/"+parts[2])
	default:
		http.NotFound(w, r)
	}
}

func issue(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")[2:]
	if len(parts) != 5 || parts[1] != "repos" || parts[3] != "issues" {
		http.NotFound(w, r)
		return
	}
	text(w, parts[0]+"/"+parts[2]+"/"+parts[4])
}

func upload(w http.ResponseWriter, r *http.Request) {
	total, buffer := 0, make([]byte, len(piece))
	for {
		size, err := r.Body.Read(buffer)
		total += size
		if err == io.EOF {
			text(w, strconv.Itoa(total))
			return
		}
		if err != nil {
			return
		}
	}
}

func zeros(sized bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		left, err := number(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		if sized {
			w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
		}
		for left > 0 {
			size := int64(len(piece))
			if left < size {
				size = left
			}
			if _, err := w.Write(piece[:size]); err != nil {
				return
			}
			left -= size
		}
	}
}
