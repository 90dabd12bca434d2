//! libFuzzer's program for [`portero_fuzz::import`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::import(input);
});
