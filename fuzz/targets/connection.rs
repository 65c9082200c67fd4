//! Whole connections, pipelined requests included: what is made of one does not depend on how it
//! is cut.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((cut, input)) = brigade_fuzz::take_cut(data) {
        brigade_fuzz::check(input, cut);
    }
});
