//! libFuzzer's program for [`portero_fuzz::domain_written`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::domain_written(input);
});
