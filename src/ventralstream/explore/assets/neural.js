// Neurons beside units: recorded responses with their ceiling and the network's prediction, and dissimilarities over time.

export class Neural {
  constructor(app) {
    this.app = app;
  }

  build() {}

  draw() {}
}
