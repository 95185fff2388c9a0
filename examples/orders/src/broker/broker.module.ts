import { Controller, Module, UseGuards } from '@nestjs/common';
import { AdmissionController, AuthGuard, BrokerModule } from 'nestjs-stomp-broker';
import { passcodeOf } from '../service.js';
import { RightsGuard } from './rights.guard.js';

/** First who it is, then what that user may do. */
@Controller()
@UseGuards(AuthGuard, RightsGuard)
class OrdersAdmission extends AdmissionController {}

@Module({
  imports: [
    BrokerModule.forRoot({
      port: Number(process.env.BROKER_PORT ?? 61613),
      users: {
        gateway: passcodeOf('gateway'),
        orders: passcodeOf('orders'),
        billing: passcodeOf('billing'),
      },
      admission: OrdersAdmission,
    }),
  ],
})
export class OrdersBrokerModule {}
