//! libFuzzer's program for [`portero_fuzz::network_hook`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::network_hook(input);
});
