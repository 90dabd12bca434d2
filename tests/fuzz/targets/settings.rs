//! libFuzzer's program for [`portero_fuzz::settings`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::settings(input);
});
