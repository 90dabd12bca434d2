//! libFuzzer's program for [`portero_fuzz::observed`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::observed(input);
});
