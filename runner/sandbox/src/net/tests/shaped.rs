//! Links that take time: what a program's connections see of it.

use std::sync::Mutex;

use tokio::time::Instant;

use super::*;

/// A way with this delay.
fn slow(ms: u64) -> ShaperChain {
    let netem = Netem { delay: Duration::from_millis(ms), ..Netem::default() };
    ShaperChain::new(vec![Arc::new(Shaper::netem(netem, 1))])
}

/// A way that loses everything.
fn lossy() -> ShaperChain {
    let loss = Chance { share: 1.0, correlation: 0.0 };
    ShaperChain::new(vec![Arc::new(Shaper::netem(Netem { loss, ..Netem::default() }, 1))])
}

fn all_through(there: &ShaperChain, back: &ShaperChain) -> Judge {
    let (there, back) = (there.clone(), back.clone());
    Arc::new(move |_| Carry::through(there.clone(), back.clone()))
}

#[tokio::test]
async fn a_slow_way_delays_the_connect_and_each_direction() {
    let cuts = Cuts::default();
    let (one, two) = (cuts.pod(), cuts.pod());
    let listener = two.listen(0).await.unwrap();
    let to = listener.local_addr().unwrap();
    cuts.links.update(all_through(&slow(80), &slow(40)));
    let began = Instant::now();
    let mut client = one.connect(&to.ip().to_string(), to.port()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
    let (mut server, _) = listener.accept().await.unwrap();

    let began = Instant::now();
    client.write_all(b"question").await.unwrap();
    expect(&mut server, "question").await;
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    let began = Instant::now();
    server.write_all(b"answer").await.unwrap();
    expect(&mut client, "answer").await;
    let took = began.elapsed();
    assert!((Duration::from_millis(40)..SOON).contains(&took), "{took:?}");

    // The end takes its time as well, and comes after what was sent before it.
    let began = Instant::now();
    client.write_all(b"bye").await.unwrap();
    drop(client);
    expect(&mut server, "bye").await;
    assert_eq!(timeout(LIMIT, server.read(&mut [0])).await.unwrap().unwrap(), 0);
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn what_was_lost_arrives_once_the_way_is_good_again_and_not_before() {
    let Pair { cuts, mut client, mut server, .. } = pair().await;
    cuts.links.update(all_through(&lossy(), &ShaperChain::default()));
    client.write_all(b"lost").await.unwrap();
    expect_nothing(&mut server).await;
    server.write_all(b"fine").await.unwrap();
    expect(&mut client, "fine").await;
    cuts.heal();
    let began = Instant::now();
    expect(&mut server, "lost").await;
    // Some retransmissions were in vain; the next is not.
    assert!(began.elapsed() < SOON);
    client.write_all(b"as before").await.unwrap();
    expect(&mut server, "as before").await;
}

#[tokio::test]
async fn a_connect_is_tried_again_and_goes_on_when_the_way_is_good() {
    let cuts = Cuts::default();
    let (one, two) = (cuts.pod(), cuts.pod());
    let to = two.listen(0).await.unwrap().local_addr().unwrap();
    let listener = two.listen(to.port()).await.unwrap();
    cuts.links.update(all_through(&lossy(), &ShaperChain::default()));
    let host = to.ip().to_string();
    assert!(timeout(MOMENT, one.connect(&host, to.port())).await.is_err());
    let connecting = tokio::spawn(async move { one.connect(&host, to.port()).await });
    assert!(timeout(MOMENT, listener.accept()).await.is_err());
    cuts.heal();
    timeout(SOON, connecting).await.expect("it still hangs").unwrap().unwrap();
}

#[tokio::test]
async fn both_ends_of_a_connection_know_which_service_was_called() {
    struct Shop(SocketAddr);
    impl Resolve for Shop {
        fn resolve(&self, host: &str, _: u16, _: &str) -> Option<Vec<SocketAddr>> {
            (host == "shop").then(|| vec![self.0])
        }
        fn service(&self, host: &str, port: u16, _: &str) -> Option<SocketAddr> {
            (host == "shop").then(|| SocketAddr::new([127, 64, 0, 1].into(), port))
        }
    }
    let links = Links::new();
    let asked: Arc<Mutex<Vec<Link>>> = Arc::default();
    let noted = asked.clone();
    links.update(Arc::new(move |link| {
        noted.lock().unwrap().push(link);
        Carry::open()
    }));
    let two = links.pod(address(), "test", Arc::new(|_: &str, _: u16, _: &str| None));
    let listener = two.listen(0).await.unwrap();
    let to = listener.local_addr().unwrap();
    let one = links.pod(address(), "test", Arc::new(Shop(to)));
    let mut vias = Vec::new();
    for host in ["shop".to_string(), to.ip().to_string()] {
        let mut client = one.connect(&host, if host == "shop" { 80 } else { to.port() }).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        expect(&mut server, "x").await;
        vias.push(asked.lock().unwrap().drain(..).map(|link| link.via).collect::<Vec<_>>());
    }
    let service = Some(SocketAddr::new([127, 64, 0, 1].into(), 80));
    assert_eq!(vias, [vec![service, service], vec![None, None]]);
}

#[tokio::test]
async fn names_fail_for_an_ailing_pod_and_for_no_other() {
    let cuts = Cuts::default();
    let two = cuts.pod();
    let listener = two.listen(0).await.unwrap();
    let to = listener.local_addr().unwrap();
    let named = move |host: &str, _: u16, _: &str| host.starts_with("nats").then(|| vec![to]);
    let pods = [(); 2].map(|()| cuts.links.pod(address(), "test", Arc::new(named)));
    let ill = pods[0].address().unwrap();
    let names = |random| Ailment::Names { patterns: vec!["nats.*".into()], random };
    cuts.links.ailments().inflict(ill, "a", names(false));
    assert_eq!(pods[0].connect("nats", 1).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(pods[0].connect("natsy.other", 1).await.is_ok(), "another name");
    assert!(pods[0].connect(&to.ip().to_string(), to.port()).await.is_ok(), "an address is no name");
    assert!(pods[1].connect("nats", 1).await.is_ok());
    cuts.links.ailments().inflict(ill, "a", names(true));
    assert!(timeout(MOMENT, pods[0].connect("nats", 1)).await.is_err());
    cuts.links.ailments().heal("a");
    assert!(pods[0].connect("nats", 1).await.is_ok());
}
