//! libFuzzer's program for [`portero_fuzz::libvirt_files`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    portero_fuzz::libvirt_files(input);
});
