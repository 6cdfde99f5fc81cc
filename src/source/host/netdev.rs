//! Network devices, from `/proc/net/dev`.

use super::CollectError;
use super::config::Filters;
use super::writer::Writer;

pub(super) fn collect(filters: &Filters, out: &mut Writer<'_>) -> Result<(), CollectError> {
    let mut devices: Vec<_> = procfs::net::dev_status()?.into_values().collect();
    devices.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for device in devices.iter().filter(|d| !filters.network_devices.is_match(&d.name)) {
        let counters = [
            ("node_network_receive_bytes_total", device.recv_bytes),
            ("node_network_receive_packets_total", device.recv_packets),
            ("node_network_receive_errs_total", device.recv_errs),
            ("node_network_receive_drop_total", device.recv_drop),
            ("node_network_receive_fifo_total", device.recv_fifo),
            ("node_network_receive_frame_total", device.recv_frame),
            ("node_network_receive_compressed_total", device.recv_compressed),
            ("node_network_receive_multicast_total", device.recv_multicast),
            ("node_network_transmit_bytes_total", device.sent_bytes),
            ("node_network_transmit_packets_total", device.sent_packets),
            ("node_network_transmit_errs_total", device.sent_errs),
            ("node_network_transmit_drop_total", device.sent_drop),
            ("node_network_transmit_fifo_total", device.sent_fifo),
            ("node_network_transmit_colls_total", device.sent_colls),
            ("node_network_transmit_carrier_total", device.sent_carrier),
            ("node_network_transmit_compressed_total", device.sent_compressed),
        ];
        for (name, n) in counters {
            out.with(name, &[("device", &device.name)], n as f64);
        }
    }
    Ok(())
}
