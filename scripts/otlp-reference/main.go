// Prometheus' own OTLP write handler over its own storage, without the rest of Prometheus: what tests/otlp_prometheus.rs
// compares forewarn's translation with. Debian's Prometheus is built without that handler, and Prometheus' query API does
// not show staleness markers; this shows every sample.
//
// POST /v1/metrics as in Prometheus; GET /dump: all series with their samples; GET /ready.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strconv"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

type series struct {
	Labels  map[string]string `json:"labels"`
	Samples [][2]string       `json:"samples"`
}

func main() {
	address := flag.String("address", "", "where to listen")
	file := flag.String("config", "", "a prometheus.yml with otlp: in it")
	deltas := flag.Bool("deltas", false, "as Prometheus with --enable-feature=otlp-deltatocumulative")
	flag.Parse()
	quiet := slog.New(slog.NewTextHandler(os.Stderr, nil))
	loaded, err := config.LoadFile(*file, false, quiet)
	if err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp(".", "data")
	if err != nil {
		log.Fatal(err)
	}
	db, err := tsdb.Open(folder, quiet, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		log.Fatal(err)
	}
	settings := func() config.Config { return *loaded }
	options := remote.OTLPOptions{ConvertDelta: *deltas}
	http.Handle("/v1/metrics", remote.NewOTLPWriteHandler(quiet, nil, db, settings, options))
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/dump", func(w http.ResponseWriter, _ *http.Request) {
		all, err := dump(db)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(all)
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}

func dump(db *tsdb.DB) ([]series, error) {
	querier, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	defer querier.Close()
	matchers, err := parser.ParseMetricSelector(`{__name__=~".+"}`)
	if err != nil {
		return nil, err
	}
	all := []series{}
	found := querier.Select(context.Background(), false, nil, matchers...)
	for found.Next() {
		one := series{Labels: map[string]string{}}
		found.At().Labels().Range(func(l labels.Label) { one.Labels[l.Name] = l.Value })
		samples := found.At().Iterator(nil)
		for kind := samples.Next(); kind != chunkenc.ValNone; kind = samples.Next() {
			if kind != chunkenc.ValFloat {
				continue
			}
			t, v := samples.At()
			text := strconv.FormatFloat(v, 'f', -1, 64)
			if value.IsStaleNaN(v) {
				text = "stale"
			}
			one.Samples = append(one.Samples, [2]string{strconv.FormatInt(t, 10), text})
		}
		if samples.Err() != nil {
			return nil, samples.Err()
		}
		all = append(all, one)
	}
	return all, found.Err()
}
