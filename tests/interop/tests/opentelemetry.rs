//! OpenTelemetry: the spans of tasks and handlers, exported by its SDK.
#![forbid(unsafe_code)]

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn spans_are_exported_with_their_parents() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("brigade"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        brigade::run(
            async {
                let inner = async {
                    brigade::task::yield_now().await;
                    tracing::Span::current().record("rows", 3);
                };
                inner.instrument(tracing::info_span!("query", rows = 0)).await;
            }
            .instrument(tracing::info_span!("request")),
        );
    });
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["query", "request"]);
    assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
}
