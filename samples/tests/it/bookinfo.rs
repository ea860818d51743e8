//! The four services together, as the page shows them.

use std::time::Duration;

use samples::{
    bookinfo::{Service, Settings, router},
    client::{Answer, Route, Template, send},
};

async fn shop() -> String {
    let mut settings = Settings {
        port: 0,
        details: "http://127.0.0.1:1".to_owned(),
        reviews: "http://127.0.0.1:1".to_owned(),
        ratings: "http://127.0.0.1:1".to_owned(),
    };
    settings.details = format!("http://{}", super::started(router(Service::Details, &settings)).await);
    settings.reviews = format!("http://{}", super::started(router(Service::Reviews, &settings)).await);
    super::started(router(Service::Productpage, &settings)).await
}

async fn get(address: &str, path: &str) -> Answer {
    let template = Template::get(&format!("http://{address}{path}")).unwrap();
    send(&template, &Route::default(), Duration::from_secs(10)).await.unwrap()
}

#[tokio::test]
async fn the_page_joins_details_and_reviews() {
    let shop = shop().await;
    let page = get(&shop, "/productpage?u=jason").await;
    assert_eq!(page.status, 200);
    for part in ["Simple Bookstore App", "Details served by", "Reviews served by", "jason"] {
        assert!(page.body_text().contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_same_is_there_as_json() {
    let shop = shop().await;
    assert_eq!(get(&shop, "/api/v1/products").await.text[0]["id"], 0);
    assert_eq!(get(&shop, "/api/v1/products/0").await.text["ISBN-10"], "1234567890");
    let reviews = get(&shop, "/api/v1/products/0/reviews").await.text;
    assert_eq!(reviews["reviews"].as_array().map(Vec::len), Some(2));
    assert!(reviews["reviews"][0].get("rating").is_none(), "v1 has no stars");
    // ratings is not running: its absence is told as such.
    assert_eq!(get(&shop, "/api/v1/products/0/ratings").await.status, 503);
    assert_eq!(get(&shop, "/health").await.status, 200);
}
