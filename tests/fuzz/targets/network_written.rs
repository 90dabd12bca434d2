//! libFuzzer's program for [`portero_fuzz::network_written`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::network_written(input);
});
